// Calls that a policy holds to one TURN server.

import { URLS, inScene } from './scene.mjs';

await inScene('held to a relay', (test) => {
  for (const [transport, url] of Object.entries(URLS)) {
    test(`the call goes by TURN over ${transport}`, async (scene) => {
      await scene.internet.block([]);
      await scene.call((...people) => scene.talks(people, `turn/${transport}`), url);
    });
  }
});
