"""Compose files that reach out of their project, which a drill must never follow.

Each is the file of a real live stack. `{name}` is the stack's name, `{port}` a free port,
`{root}` its folder.
A volume and a network named `{name}-external` exist before it is started, and so does the folder
`precious` with a file in it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

NOTHING: MappingProxyType[str, str] = MappingProxyType({})


class Hostile(NamedTuple):
    """A compose file, other files next to it, and the environment.

    `refusal` is what the error must name if the drill cannot run. Without `port`, Qdrant is not
    published on the host.
    """

    name: str
    compose: str
    files: MappingProxyType[str, str] = NOTHING
    environment: MappingProxyType[str, str] = NOTHING
    refusal: str = ""
    port: bool = True


def _files(**texts: str) -> MappingProxyType[str, str]:
    return MappingProxyType({name.replace("__", "."): text for name, text in texts.items()})


IMAGE = "image: qdrant/qdrant:v1.17.0"
PORTS = 'ports: ["127.0.0.1:{port}:6333"]'

FIXED_NAMES = f"""
services:
  qdrant:
    {IMAGE}
    container_name: {{name}}-fixed
    hostname: {{name}}-fixed
    restart: always
    {PORTS}
    networks: {{shared: {{aliases: [qdrant-live]}}}}
    volumes: ["storage:/qdrant/storage", "snapshots:/qdrant/snapshots"]
    depends_on: [neighbour]
  neighbour:
    {IMAGE}
    container_name: {{name}}-neighbour
    entrypoint: ["sleep", "600"]
    init: true
volumes:
  storage: {{name: "{{name}}-storage"}}
  snapshots: {{name: "{{name}}-snapshots"}}
networks:
  shared: {{name: "{{name}}-network"}}
"""

EXTERNAL = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    networks: [outside]
    volumes: ["storage:/qdrant/storage", "/qdrant/snapshots"]
volumes:
  storage: {{external: true, name: "{{name}}-external"}}
networks:
  outside: {{external: true, name: "{{name}}-external"}}
"""

WRITABLE_FOLDERS = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    user: "1000:1000"
    working_dir: /precious
    command: [bash, -c, "date > /precious/started; cd /qdrant; exec ./qdrant"]
    environment: {{QDRANT_INIT_FILE_PATH: /precious/initialized}}
    volumes:
      - ./precious:/precious
      - ./precious/storage:/qdrant/storage
      - ./precious/snapshots:/qdrant/snapshots
      - ./precious/data:/qdrant/config/data.yaml
"""

NAMED_FOLDER = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    volumes: ["storage:/qdrant/storage", "snapshots:/qdrant/snapshots"]
volumes:
  storage: {{driver_opts: {{type: none, o: bind, device: "{{root}}/precious/storage"}}}}
  snapshots: {{driver_opts: {{type: none, o: bind, device: "{{root}}/precious/snapshots"}}}}
"""

HOST_NAMESPACES = f"""
services:
  qdrant:
    {IMAGE}
    network_mode: host
    pid: host
    ipc: host
    uts: host
    devices: [/dev/null]
    cap_add: [NET_BIND_SERVICE]
    environment:
      QDRANT__SERVICE__HTTP_PORT: "{{port}}"
      QDRANT__SERVICE__GRPC_PORT: "0"
      QDRANT__SERVICE__HOST: 127.0.0.1
    volumes: ["storage:/qdrant/storage", "/:/host:ro", "/var/run/docker.sock:/run/docker.sock:ro"]
volumes: {{storage: }}
"""

NEIGHBOURS_NAMESPACES = f"""
services:
  qdrant:
    {IMAGE}
    network_mode: service:neighbour
    pid: service:neighbour
    volumes_from: [neighbour]
  neighbour:
    {IMAGE}
    {PORTS}
    entrypoint: ["sleep", "600"]
    init: true
    volumes: ["storage:/qdrant/storage", "./precious:/qdrant/snapshots"]
volumes: {{storage: }}
"""

TWO_FILES = f"""
services:
  qdrant:
    extends: {{file: base.yaml, service: base}}
    {PORTS}
volumes: {{storage: }}
"""
BASE = f"""
services:
  base:
    {IMAGE}
    entrypoint: [bash, -c, "date > /precious/started; exec ./entrypoint.sh"]
    volumes: ["storage:/qdrant/storage", "./precious:/precious"]
"""
OVERRIDE = """
services:
  qdrant:
    restart: always
    volumes: ["./precious/snapshots:/qdrant/snapshots"]
volumes:
  storage: {name: "{name}-override"}
"""

MOVED_BY_SETTINGS = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    command: ["./entrypoint.sh", "--uri", "http://qdrant:6335"]
    env_file: [live.env]
    environment:
      QDRANT__STORAGE__TEMP_PATH: /precious/temp
      qdrant__service__http_port: "6333"
      Qdrant__Cluster__Enabled: "true"
      qdrant__storage__snapshots_path: /precious/snapshots
    volumes: ["./precious:/precious"]
"""
LIVE_ENV = """
QDRANT__STORAGE__STORAGE_PATH=/precious/storage
QDRANT__LOGGER__ON_DISK__ENABLED=true
QDRANT__LOGGER__ON_DISK__LOG_FILE=/precious/log
QDRANT__CLUSTER__P2P__PORT=6335
"""

MOVED_BY_A_FILE = f"""
services:
  qdrant:
    {IMAGE}
    ports: ["127.0.0.1:{{port}}:7333"]
    configs: [{{source: inline, target: /qdrant/inline.yaml}}]
    secrets: [key]
    volumes:
      - ./settings:/qdrant/config:ro
      - ./precious:/qdrant/config/precious
      - ./precious/storage:/live/storage
      - ./precious/snapshots:/live/snapshots
configs: {{inline: {{file: ./live.yaml}}}}
secrets: {{key: {{file: ./precious/data}}}}
"""
LIVE_YAML = """
service: {http_port: 7333, grpc_port: 7334}
storage: {storage_path: /live/storage, snapshots_path: /live/snapshots, temp_path: /live/storage/t}
"""

MEMORY = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    tmpfs: [/qdrant/storage]
    volumes: [{{type: tmpfs, target: /qdrant/snapshots}}, "./precious:/precious"]
    healthcheck:
      test: [CMD-SHELL, "test -e /precious/$$HOSTNAME || touch /precious/$$HOSTNAME"]
      interval: 1s
"""

PROFILE = f"""
services:
  qdrant:
    {IMAGE}
    {PORTS}
    profiles: [database]
    volumes: ["storage:/qdrant/storage"]
    security_opt: ["seccomp:./seccomp.json"]
volumes: {{storage: }}
"""
SECCOMP = '{"defaultAction": "SCMP_ACT_ALLOW"}'

REPLICAS = f"""
services:
  qdrant:
    {IMAGE}
    deploy: {{replicas: 2, restart_policy: {{condition: any}}}}
    ports: ["127.0.0.1::6333"]
    volumes: ["/qdrant/storage"]
"""

# Like the name and the labels of one of our drills.
DRILLS_NAME = f"""
name: qdrant-drill-{{name}}
services:
  qdrant:
    {IMAGE}
    {PORTS}
    labels: {{io.qdrant-snapshot-tasks.drill: kept}}
    volumes: ["storage:/qdrant/storage", "data0:/qdrant/snapshots"]
volumes:
  storage: {{labels: {{io.qdrant-snapshot-tasks.drill: elsewhere/1/2/3}}}}
  data0:
"""

BUILT = f"""
services:
  qdrant:
    build: .
    {PORTS}
    volumes: ["storage:/qdrant/storage"]
volumes: {{storage: }}
"""
DOCKERFILE = "FROM qdrant/qdrant:v1.17.0\n"

HOSTILE = (
    Hostile("fixed names", FIXED_NAMES),
    Hostile("external", EXTERNAL),
    Hostile("writable folders", WRITABLE_FOLDERS),
    Hostile("volume that is a folder", NAMED_FOLDER),
    Hostile("host namespaces", HOST_NAMESPACES),
    Hostile("namespaces of a neighbour", NEIGHBOURS_NAMESPACES),
    Hostile(
        "two files and extends",
        TWO_FILES,
        files=_files(base__yaml=BASE, override__yaml=OVERRIDE),
        environment=MappingProxyType({"COMPOSE_FILE": "docker-compose.yml:override.yaml"}),
    ),
    Hostile("moved by settings", MOVED_BY_SETTINGS, files=_files(live__env=LIVE_ENV)),
    Hostile(
        "moved by a file",
        MOVED_BY_A_FILE,
        files=MappingProxyType({"live.yaml": LIVE_YAML, "settings/config.yaml": LIVE_YAML}),
    ),
    Hostile("in memory", MEMORY),
    Hostile("profile", PROFILE, refusal="COMPOSE_PROFILES", files=_files(seccomp__json=SECCOMP)),
    Hostile(
        "profile switched on",
        PROFILE,
        files=_files(seccomp__json=SECCOMP, live__env=LIVE_ENV),
        environment=MappingProxyType(
            {"COMPOSE_PROFILES": "database", "COMPOSE_ENV_FILES": "live.env"}
        ),
    ),
    Hostile("replicas", REPLICAS, port=False),
    Hostile("a drill's name", DRILLS_NAME),
    Hostile(
        "built",
        BUILT,
        files=_files(Dockerfile=DOCKERFILE),
        refusal="services.qdrant.build",
    ),
    Hostile(
        "built under a name",
        BUILT.replace("build: .", 'build: .\n    image: "{name}-built:mine"'),
        files=_files(Dockerfile=DOCKERFILE),
        refusal="services.qdrant.build",
    ),
)
