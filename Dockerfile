# talker's light installation: animate, render, export, enroll by sound. No PyTorch, no root.
#   docker build -t talker . && docker run --rm -v "$PWD:/work" talker animate speech.wav -o out.mp4
# Files that talker writes belong to user 1000; where you are another: docker run --user "$(id -u):$(id -g)" ...
FROM python:3.12-slim AS install
COPY . /src
RUN python -m venv --without-pip /opt/talker \
    && pip --python /opt/talker install --no-cache-dir -c /src/constraints.txt /src

FROM python:3.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
COPY --from=install /opt/talker /opt/talker
ENV PATH="/opt/talker/bin:$PATH"
RUN useradd --create-home --uid 1000 talker
USER talker
WORKDIR /work
ENTRYPOINT ["talker"]
