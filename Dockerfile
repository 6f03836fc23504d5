# The one-shot restore service: runs the code of `inv snapshot.restore` in an image.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt
COPY tasks.py ./
COPY snapshot_tasks ./snapshot_tasks
CMD ["inv", "snapshot.restore", "--all", "--if-missing", "--timeout", "300"]
