// A small internet of network namespaces, gone with the test: a server, a client's home, and between them a
// router that translates addresses (NAT) and can be told what to block. Needs root.
//
//   client 192.168.77.2 ── 192.168.77.1 router 10.50.0.254 ── 10.50.0.1 server (and .2, for TLS on port 443)
//   client fd77::2      ── fd77::1      router fd50::fe    ── fd50::1   server (routed, not translated)

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../lib/plenum.mjs';
import { until } from '../lib/until.mjs';
import { Shaper } from './shaper.mjs';

const execute = (tool, args) => promisify(execFile)(tool, args, { env: cleanEnvironment() });

export const SERVER = { v4: '10.50.0.1', tls: '10.50.0.2', v6: 'fd50::1' };

// What a firewall may drop, as `block` takes it.
export const UDP = '-p udp';
export const MEDIA_TCP = '-p tcp --dport 7881';
export const TURN_TCP = '-p tcp --dport 3478';
export const TURN_TLS = `-d ${SERVER.tls}`;
export const ALL_BUT_443 = [UDP, '-p tcp ! --dport 443'];

// Why this machine cannot do it; null when it can.
export async function obstacle() {
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces';
  for (const [tool, ...args] of [['ip', '-V'], ['iptables', '--version'], ['ip6tables', '--version']]) {
    if (!(await works(tool, args))) return `needs ${tool}`;
  }
  const probe = `plenum-probe-${process.pid}`;
  if (!(await works('ip', ['netns', 'add', probe]))) return 'may not make network namespaces';
  const hasNat = await works('ip', ['netns', 'exec', probe, 'iptables', '-t', 'nat', '-L']);
  await works('ip', ['netns', 'del', probe]);
  return hasNat ? null : 'the kernel has no address translation';
}

const works = (tool, args) => execute(tool, args).then(() => true, () => false);

export class Internet {
  // With `isShaped` the cable to the client's home can be made bad: see `shaper` of what is built.
  static async build({ isShaped = false } = {}) {
    const internet = new Internet();
    await internet.#build(isShaped);
    return internet;
  }

  // A command as it is run in a namespace: "server", "router" or "client".
  within(where, ...command) {
    return ['ip', 'netns', 'exec', this.#name(where), ...command];
  }

  async run(where, ...command) {
    const [tool, ...args] = this.within(where, ...command);
    return (await execute(tool, args)).stdout;
  }

  // From now on the router drops what the client sends that matches: arguments of iptables each, for IPv4.
  // IPv6 is closed unless `v6`.
  async block(matches, { v6 = false } = {}) {
    await this.run('router', 'iptables', '-F', 'FORWARD');
    await this.run('router', 'ip6tables', '-F', 'FORWARD');
    for (const match of matches) {
      await this.run('router', 'iptables', '-A', 'FORWARD', '-i', 'home', ...match.split(' '), '-j', 'DROP');
    }
    if (!v6) await this.run('router', 'ip6tables', '-A', 'FORWARD', '-j', 'DROP');
  }

  // The router gets another address from its provider: every translation it knew is void.
  async renumberRouter(from, to) {
    await this.run('router', 'ip', 'addr', 'del', `${from}/24`, 'dev', 'net');
    await this.run('router', 'ip', 'addr', 'add', `${to}/24`, 'dev', 'net');
  }

  // The client gets another address, as when it changes from one network to another.
  async renumberClient(from, to) {
    await this.run('client', 'ip', 'addr', 'del', `${from}/24`, 'dev', 'home');
    await this.run('client', 'ip', 'addr', 'add', `${to}/24`, 'dev', 'home');
    await this.run('client', 'ip', 'route', 'replace', 'default', 'via', '192.168.77.1');
  }

  async remove() {
    await this.shaper?.stop();
    for (const where of ['server', 'router', 'client']) await works('ip', ['netns', 'del', this.#name(where)]);
  }

  #name(where) {
    return `plenum-${process.pid}-${where}`;
  }

  async #build(isShaped) {
    for (const where of ['server', 'router', 'client']) {
      await execute('ip', ['netns', 'add', this.#name(where)]);
      await this.run(where, 'ip', 'link', 'set', 'lo', 'up');
    }
    await this.#link('router', 'net', 'server', 'net');
    if (isShaped) await this.#shape();
    else await this.#link('router', 'home', 'client', 'home');
    const addresses = [
      ['server', 'net', '10.50.0.1/24', '10.50.0.2/24', 'fd50::1/64'],
      ['router', 'net', '10.50.0.254/24', 'fd50::fe/64'],
      ['router', 'home', '192.168.77.1/24', 'fd77::1/64'],
      ['client', 'home', '192.168.77.2/24', 'fd77::2/64'],
    ];
    for (const [where, link, ...ips] of addresses) {
      for (const ip of ips) {
        const flags = ip.includes('::') ? ['nodad'] : [];
        await this.run(where, 'ip', 'addr', 'add', ip, 'dev', link, ...flags);
      }
    }
    await this.run('client', 'ip', 'route', 'add', 'default', 'via', '192.168.77.1');
    await this.run('client', 'ip', '-6', 'route', 'add', 'default', 'via', 'fd77::1');
    await this.run('server', 'ip', '-6', 'route', 'add', 'default', 'via', 'fd50::fe');
    await this.run('router', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    await this.run('router', 'iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', 'net', '-j', 'MASQUERADE');
    await until('all addresses are settled', () => this.#isSettled());
  }

  // No address is still asked for by others (RFC 4862 section 5.4): when that ends, a browser takes it for a change of
  // its network and drops every request of a page.
  async #isSettled() {
    for (const where of ['server', 'router', 'client']) {
      if ((await this.run(where, 'ip', '-6', 'addr', 'show', 'tentative')).trim()) return false;
    }
    return true;
  }

  // The cable to the client's home, with the shaper in it.
  async #shape() {
    const ends = { client: `pn${process.pid}`, router: `pf${process.pid}` };
    this.shaper = await Shaper.start(ends.client, ends.router);
    for (const [where, name] of Object.entries(ends)) {
      await execute('ip', ['link', 'set', name, 'netns', this.#name(where)]);
      await this.run(where, 'ip', 'link', 'set', name, 'name', 'home');
      await this.run(where, 'ip', 'link', 'set', 'home', 'up');
    }
  }

  // A cable between two namespaces.
  async #link(a, nameA, b, nameB) {
    const peer = ['peer', 'name', nameB, 'netns', this.#name(b)];
    await this.run(a, 'ip', 'link', 'add', nameA, 'type', 'veth', ...peer);
    await this.run(a, 'ip', 'link', 'set', nameA, 'up');
    await this.run(b, 'ip', 'link', 'set', nameB, 'up');
  }
}
