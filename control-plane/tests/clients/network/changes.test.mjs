// The network changes under a call, and the call goes on.

import { until } from '../lib/until.mjs';
import { inScene } from './scene.mjs';

const PICTURES = 100;
// ICE itself takes more than six seconds to say that nothing comes.
const NOTICED_MS = 5000;

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
        const pictures = () =>
          Promise.all([ann.received(bob, 'CAMERA'), bob.received(ann, 'CAMERA')]).then((rows) => rows.map((row) => row?.frames ?? 0));
        const states = () => Promise.all(people.map((person) => person.state()));
        const resumed = (await states()).map(({ recoveries }) => recoveries.resumes);
        const begun = Date.now();
        const before = await pictures();
        await scene.internet[change](from, to);
        try {
          const noticed = async () => (await states()).every(({ connection, recoveries }, i) => connection !== 'connected' || recoveries.resumes > resumed[i]);
          await until('both pages notice the change', noticed, NOTICED_MS);
          console.log(`both pages noticed within ${Date.now() - begun} ms of the change`);
          // More than can have been under way.
          const came = async () => (await pictures()).every((frames, i) => frames >= before[i] + PICTURES);
          await until(`${PICTURES} pictures each way after the change`, came, 60_000);
          console.log(`${PICTURES} pictures came within ${Date.now() - begun} ms of the change`);
        } finally {
          await scene.internet[change](to, from);
        }
      });
    });
  }
});
