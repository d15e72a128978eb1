# A CPU image with everything installed; ADDRESS as `make` explains it (without it 3.2 GB are downloaded):
#   docker build --build-arg TORCH_INDEX=ADDRESS -t dishvl .
#   docker run -v "$PWD/outputs:/outputs" dishvl demo
#   docker run -v "$PWD/outputs:/outputs" -p 8888:8888 dishvl open 01 demo --ip 0.0.0.0 --no-browser --allow-root
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends make gcc g++ libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /dishvl
COPY . .
ARG TORCH_INDEX=
RUN make install TORCH_INDEX=$TORCH_INDEX
ENV DISHVL_OUTPUTS=/outputs PATH=/dishvl/.venv/bin:$PATH
VOLUME /outputs
ENTRYPOINT ["dishvl"]
CMD ["demo"]
