# The image of this very project: resource type and task in one static program, and what it needs of Debian's.
# `ci/ship` builds it, with a context that holds the program alone.

variable "debian" { description = "the address of a Debian archive" }
variable "suite" { default = "trixie" }
variable "commit" {
  description = "what the program was built from"
  default     = ""
}

image "estaleiro/estaleiro" {
  apt {
    repositories = [
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${debian} ${suite} main",
    ]
  }

  file "/usr/local/bin/estaleiro" {
    from_context {
      path = "estaleiro"
      vcs "git" {
        repository = "https://git.example/estaleiro.git"
        ref        = "${commit}"
      }
    }
    mode = "0755"
  }

  # Which program it is, it knows by the name it is called by.
  symlink "/usr/local/bin/build" { target = "estaleiro" }
  symlink "/opt/resource/check" { target = "../../usr/local/bin/estaleiro" }
  symlink "/opt/resource/in" { target = "../../usr/local/bin/estaleiro" }
  symlink "/opt/resource/out" { target = "../../usr/local/bin/estaleiro" }

  file "/usr/share/keyrings/" {
    from_package "debian-archive-keyring" { path = "/usr/share/keyrings/debian-archive-keyring.*" }
  }
  file "/usr/share/keyrings/" {
    from_package "ubuntu-keyring" { path = "/usr/share/keyrings/ubuntu-archive-keyring.gpg" }
  }
  file "/etc/ssl/certs/" {
    from_package "ca-certificates" { path = "/usr/share/ca-certificates/mozilla/*.crt" }
  }
  file "/etc/passwd" {
    from_package "base-passwd" { path = "/usr/share/base-passwd/passwd.master" }
  }
  file "/etc/group" {
    from_package "base-passwd" { path = "/usr/share/base-passwd/group.master" }
  }
  file "/etc/nsswitch.conf" {
    from_package "libc-bin" { path = "/usr/share/libc-bin/nsswitch.conf" }
  }
  # A directory that a pattern matches comes with its mode, here 1777.
  file "/" {
    from_package "base-files" { path = "/tmp*" }
  }

  entrypoint = ["/usr/local/bin/estaleiro"]
  labels = {
    "org.opencontainers.image.title"    = "estaleiro"
    "org.opencontainers.image.licenses" = "Apache-2.0"
  }
}
