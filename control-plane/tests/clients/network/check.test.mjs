// What `plenum check` says behind a firewall.

import assert from 'node:assert/strict';
import { ALL_BUT_443, TURN_TLS } from './namespaces.mjs';
import { inScene } from './scene.mjs';

await inScene('behind a firewall', (test) => {
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
