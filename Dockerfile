# The program alone, without a system around it: docker build --tag echobeat .
#
# The version says the commit with --build-arg COMMIT="$(git rev-parse --short=12 HEAD)". To put a
# program in that is built already, replace the first stage: --build-context build=DIRECTORY, with
# linux/amd64/echobeat and linux/amd64/etc/ssl/certs/ca-certificates.crt in it.

FROM rust:1-bookworm AS build
ARG COMMIT
ARG TARGETPLATFORM
WORKDIR /source
COPY . .
# A member of the workspace that is not built, and has no source here.
RUN mkdir -p benches/echo && touch benches/echo/main.rs benches/build.rs
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=target-$TARGETPLATFORM \
    target="$(rustc --print host-tuple)" \
    && export ECHOBEAT_COMMIT="$COMMIT" RUSTFLAGS='-C target-feature=+crt-static' \
    && cargo build --locked --profile dist --bin echobeat --target "$target" \
    && install -D -t "/$TARGETPLATFORM" "target/$target/dist/echobeat" \
    && install -D -m 644 -t "/$TARGETPLATFORM/etc/ssl/certs" /etc/ssl/certs/ca-certificates.crt

FROM scratch
ARG TARGETPLATFORM
# The authorities are those that the proxy trusts for an https upstream.
COPY --from=build /$TARGETPLATFORM/ /
USER 65534:65534
ENV ECHOBEAT_LISTEN=0.0.0.0:8002
EXPOSE 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
    CMD ["/echobeat", "probe", "--health", "http://127.0.0.1:8002/healthz"]
ENTRYPOINT ["/echobeat"]
