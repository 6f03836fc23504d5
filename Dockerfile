# The one-shot restore service: runs the code of `snapshot.restore` in an image.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt
# Where the package is in the build context: an installed package is a context by itself.
ARG SNAPSHOT_TASKS_PACKAGE=snapshot_tasks
COPY ${SNAPSHOT_TASKS_PACKAGE} ./snapshot_tasks
CMD ["python", "-m", "snapshot_tasks", "snapshot.restore", "--all", "--if-missing", "--timeout", "300"]
