# talker's light installation: animate, render, export, enroll by sound. No PyTorch, no root.
#   docker build -t talker . && docker run --rm -v "$PWD:/work" talker animate speech.wav -o out.mp4
FROM python:3.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt /src && rm -rf /src
RUN useradd --create-home talker
USER talker
WORKDIR /work
ENTRYPOINT ["talker"]
