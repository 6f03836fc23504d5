import cProfile
import pstats
import time
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog

c = Catalog(Path("/tmp/many/qdrant_snapshots"))
p = cProfile.Profile()
a = time.process_time()
p.enable()
e = c.entries()
p.disable()
print(len(e), time.process_time() - a)
pstats.Stats(p).sort_stats("tottime").print_stats(22)
