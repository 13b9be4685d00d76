/** The sets and counters that the kernel doors know, without the rules around them. */
export const testTable = `
table inet causeway {
  counter spoofed { }
  counter router_advert { }
  set genuine4 { type ifname . ipv4_addr; }
  set genuine6 { type ifname . ipv6_addr; }
  set units4 { type ipv4_addr; flags interval; }
  set units6 { type ipv6_addr; flags interval; }
  chain use-1 { meta mark set meta mark & 0xffffe0ff | 0x00000100; }
  chain use-2 { meta mark set meta mark & 0xffffe0ff | 0x00000200; }
  map uplink4 { type ipv4_addr : verdict; flags interval; }
  map uplink6 { type ipv6_addr : verdict; flags interval; }
}
`;
