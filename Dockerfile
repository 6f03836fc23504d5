# Everything in one image: the tasks as `qdrant-snapshots`, and a native Qdrant for drills (docs/image.md).
ARG PYTHON_IMAGE=python:3.11-slim
ARG QDRANT_VERSION=1.17.0
FROM qdrant/qdrant:v${QDRANT_VERSION} AS qdrant

FROM ${PYTHON_IMAGE} AS packages
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
COPY requirements.txt ./
# Only what runs: no tests of numpy, no symbols for debuggers, and no Pygments, which rich needs only to
# show source code. Libraries in *.libs were patched and cannot be stripped; one that is broken fails here.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pip setuptools pygments \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && find /opt/venv -name '*.so*' -type f -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && /opt/venv/bin/python -c 'import grpc, numpy, obstore, pyrage, qdrant_client, qdrant_edge, rich.console; numpy.linalg.inv(numpy.eye(9))'
# Where the package is in the build context: an installed package is a context by itself.
ARG SNAPSHOT_TASKS_PACKAGE=snapshot_tasks
COPY ${SNAPSHOT_TASKS_PACKAGE} /opt/tasks/snapshot_tasks
RUN /opt/venv/bin/python -m compileall -q /opt/tasks \
    && printf '%s\n' '#!/opt/venv/bin/python' 'from snapshot_tasks.cli.program import main' 'main()' \
    > /opt/tasks/qdrant-snapshots \
    && chmod 755 /opt/tasks/qdrant-snapshots

FROM ${PYTHON_IMAGE} AS whole
COPY --from=qdrant /qdrant/qdrant /usr/local/bin/qdrant
# The official binary needs it, and an image of Python alone does not have it.
COPY --from=qdrant /usr/lib/*/libunwind*.so.* /usr/local/lib/
# Fails here, instead of in a drill, if this Qdrant does not run on this base. What installs
# packages, teaches or converts old encodings is not needed any more.
RUN ldconfig && qdrant --version \
    && rm -rf /usr/lib/python3/dist-packages/* /usr/share/python-wheels \
    /usr/local/lib/python3*/site-packages/* /usr/local/bin/pip* /usr/lib/*/gconv /var/lib/apt/lists/* \
    && for unused in ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo; do \
    rm -rf /usr/lib/python3.*/$unused /usr/local/lib/python3.*/$unused; done
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/tasks /opt/tasks

# One layer, without what the layers of the base still contain.
FROM scratch
COPY --from=whole / /
# A volume on /snapshots starts with these rights, so any user that a cluster chooses (of group 0) can
# write to it.
RUN install -d -m 2770 -o 10001 -g 0 /snapshots /work && chmod 1777 /tmp
# The root file system may be read-only: only /snapshots and /tmp are written to.
ENV PATH=/opt/tasks:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONPATH=/opt/tasks \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    QDRANT_BINARY=/usr/local/bin/qdrant \
    QDRANT_DRILL_ENGINE=native \
    QDRANT_ENGINE=external \
    QDRANT_SNAPSHOT_DIR=/snapshots
WORKDIR /work
USER 10001:0
ENTRYPOINT ["qdrant-snapshots"]
