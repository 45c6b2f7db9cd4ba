# A small image made of nothing but a Debian archive and a script.
#
#   estaleiro build examples/hello --output oci:out/hello

image "example/hello" {
  apt {
    package "ca-certificates" {}
    package "jq" {}
  }

  file "/usr/local/bin/hello" {
    from_context { path = "hello.sh" }
    mode = "0755"
  }

  env = {
    GREETING = "hello"
  }
  entrypoint = ["/usr/local/bin/hello"]
  labels = {
    "org.opencontainers.image.title" = "hello"
  }
}
