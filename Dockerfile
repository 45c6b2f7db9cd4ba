# The same image as that of estaleiro.hcl, for any builder: `docker build .`, `buildah bud .`, `estaleiro build -f Dockerfile .`
ARG RUST=rust:bookworm
ARG DEBIAN=debian:trixie-slim

FROM $RUST AS program
WORKDIR /src
COPY . .
RUN ci/static /out

# A program that is built already takes its place: `--build-context binary=out/ship`.
FROM scratch AS binary
COPY --from=program /out/estaleiro /

FROM $DEBIAN AS packages
WORKDIR /packages
RUN apt-get update \
 && apt-get download base-files base-passwd ca-certificates debian-archive-keyring libc-bin ubuntu-keyring \
 && for package in *.deb; do dpkg-deb --extract "$package" .; done
WORKDIR /image
RUN install -d -m 1777 tmp \
 && install -d etc/ssl/certs opt/resource usr/local/bin usr/share/keyrings \
 && cp /packages/usr/share/base-passwd/passwd.master etc/passwd \
 && cp /packages/usr/share/base-passwd/group.master etc/group \
 && cp /packages/usr/share/libc-bin/nsswitch.conf etc/ \
 && cp /packages/usr/share/ca-certificates/mozilla/*.crt etc/ssl/certs/ \
 && cp -d /packages/usr/share/keyrings/debian-archive-keyring.* usr/share/keyrings/ \
 && cp /packages/usr/share/keyrings/ubuntu-archive-keyring.gpg usr/share/keyrings/ \
 && ln -s estaleiro usr/local/bin/build \
 && for name in check in out; do ln -s ../../usr/local/bin/estaleiro opt/resource/$name; done

FROM scratch
COPY --from=packages /image/ /
COPY --from=binary --chmod=0755 /estaleiro /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/estaleiro"]
LABEL org.opencontainers.image.title=estaleiro org.opencontainers.image.licenses=Apache-2.0
