// Calls through a home router with NAT and a firewall, by whatever way is left; and what `plenum check` says.

import assert from 'node:assert/strict';
import { SERVER } from './namespaces.mjs';
import { inScene } from './scene.mjs';

const [UDP, MEDIA_TCP, TURN_TCP, TURN_TLS] = ['-p udp', '-p tcp --dport 7881', '-p tcp --dport 3478', `-d ${SERVER.tls}`];
const ALL_BUT_443 = [UDP, '-p tcp ! --dport 443'];

// Name, what the firewall drops, the way that is left.
const FIREWALLS = [
  ['nothing blocked', [], 'udp'],
  ['UDP blocked', [UDP], 'tcp'],
  ['only TURN over UDP left', ['-p udp --dport 7882', MEDIA_TCP, TURN_TCP, TURN_TLS], 'turn/udp'],
  ['only TURN over TCP left', [UDP, MEDIA_TCP, TURN_TLS], 'turn/tcp'],
  ['all but port 443 blocked', ALL_BUT_443, 'turn/tls'],
];

await inScene('through a router and its firewall', (test) => {
  for (const [name, blocked, way] of FIREWALLS) {
    test(`${name}: the call goes by ${way}`, async (scene) => {
      await scene.internet.block(blocked);
      await scene.call((...people) => scene.talks(people, way));
    });
  }

  test('IPv4 media blocked: the call goes over IPv6', async (scene) => {
    await scene.internet.block([UDP, MEDIA_TCP, TURN_TCP, TURN_TLS], { v6: true });
    await scene.call((...people) => scene.talks(people, 'udp', SERVER.v6));
  });

  test('plenum check tells what the firewall lets through', async (scene) => {
    const checked = async (status, ...lines) => {
      const found = await scene.check();
      assert.equal(found.status, status, found.text);
      for (const line of lines) assert.match(found.text, line);
    };
    await scene.internet.block([], { v6: true });
    await checked(0, /udp +works +10\.50\.0\.1:7882/, /udp +works +\[fd50::1\]:7882/, /turn\/tls +works/);
    await scene.internet.block(ALL_BUT_443);
    const fails = (way) => new RegExp(`${way} +FAILS.*no answer within 3 s`);
    await checked(1, ...['udp', 'tcp', 'turn/udp', 'turn/tcp'].map(fails), /turn\/tls +works/);
    await scene.internet.block([...ALL_BUT_443, TURN_TLS]);
    await checked(2, fails('turn/tls'));
  });
});
