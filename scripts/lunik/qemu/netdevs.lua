--- Types of QEMU's networks, and what their properties are called here: for -netdev and netdev_add.

--- name -> {Lunik's type, QEMU's name of a property -> Lunik's; false: it means nothing here}.
return {
  user = { "netdev-user", { net = "net", host = "host", dhcpstart = "dhcpstart", dns = "dns",
    hostname = "hostname", domainname = "domainname", restrict = "restrict", ipv6 = "ipv6",
    hostfwd = "hostfwd", ipv4 = false } },
  tap = { "netdev-tap", { ifname = "ifname", fd = "fd", fds = "fds", queues = "queues",
    vnet_hdr = "vnet_hdr", script = false, downscript = false, vhost = false, vhostfd = false,
    vhostfds = false, sndbuf = false } },
  socket = { "netdev-socket", { listen = "listen", connect = "connect", fd = "fd" } },
}
