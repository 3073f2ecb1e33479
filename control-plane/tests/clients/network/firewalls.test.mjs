// Calls through a home router with NAT and a firewall, by whatever way is left.

import { ALL_BUT_443, MEDIA_TCP, SERVER, TURN_TCP, TURN_TLS, UDP } from './namespaces.mjs';
import { inScene } from './scene.mjs';

// Name, what the firewall drops, the way that is left.
const FIREWALLS = [
  ['nothing blocked', [], 'udp'],
  ['UDP blocked', [UDP], 'tcp'],
  ['only TURN over UDP left', ['-p udp --dport 7882', MEDIA_TCP, TURN_TCP, TURN_TLS], 'turn/udp'],
  ['only TURN over TCP left', [UDP, MEDIA_TCP, TURN_TLS], 'turn/tcp'],
  ['all but port 443 blocked', ALL_BUT_443, 'turn/tls'],
];

// Chromium makes its TCP ports 50 ms after it began with TURN, and none when a connection stands by then: TURN's five
// exchanges must take longer, as they do on the internet.
const DELAY_MS = 20;

const declare = (test) => {
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
};

await inScene('through a router and its firewall', declare, { delayMs: DELAY_MS });
