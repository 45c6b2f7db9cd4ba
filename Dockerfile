# The resource's image, for builders other than ours.
FROM rust:bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates debian-archive-keyring ubuntu-keyring \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/check /src/target/release/in /src/target/release/out /opt/resource/
COPY --from=build /src/target/release/estaleiro /usr/local/bin/
COPY --from=build /src/target/release/task /usr/local/bin/build
