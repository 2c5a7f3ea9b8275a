# The archive of `make dist` on Debian 12: no Swift, and nothing to install.
#
#   make dist && docker build -t vtok -f Dockerfile .build/dist
#   docker run --rm -v "$PWD:/work" vtok prune photos --method divprune --keep-ratio 0.25 -o out
FROM debian:12-slim
ADD vtok-*-linux-*.tar.gz /opt/
RUN mv /opt/vtok-* /opt/vtok && /opt/vtok/bin/vtok --version
ENV PATH=/opt/vtok/bin:$PATH
WORKDIR /work
ENTRYPOINT ["vtok"]
