// Screen sharing beside the camera.

import { test } from 'node:test';
import { scene } from './scene.mjs';

test(
  'a shared screen arrives beside the camera, and goes when sharing ends',
  scene(async ({ join, page }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await page.mouse.click(5, 5); // A browser shares a screen only after a gesture of the user.
    await alice.run((m) => m.room.localParticipant.setScreenShareEnabled(true));
    await bob.sees('alice', { source: 'screen_share' });
    await bob.sees('alice', { source: 'camera' });
    await alice.run((m) => m.room.localParticipant.setScreenShareEnabled(false));
    await bob.told('trackUnpublished', (publication) => publication.source === 'screen_share');
    await bob.sees('alice', { source: 'camera' });
  }),
);
