// The network changes under a call, and the call goes on.

import { inScene } from './scene.mjs';

// Name, what changes it, from which address, to which.
const CHANGES = [
  ['the router is given another address', 'renumberRouter', '10.50.0.254', '10.50.0.253'],
  ['the client changes its network', 'renumberClient', '192.168.77.2', '192.168.77.3'],
];

await inScene('a change of network', (test) => {
  for (const [name, change, from, to] of CHANGES) {
    test(name, async (scene) => {
      await scene.internet.block([]);
      await scene.call(async (...people) => {
        await scene.talks(people, 'udp');
        const [ann, bob] = people;
        const begun = Date.now();
        await scene.internet[change](from, to);
        try {
          await Promise.all([ann.sees(bob), bob.sees(ann)]);
          console.log(`pictures again ${Date.now() - begun} ms after the change`);
          await scene.talks(people, 'udp');
        } finally {
          await scene.internet[change](to, from);
        }
      });
    });
  }
});
