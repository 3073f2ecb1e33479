// Muting is seen by the others, and nothing is heard meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until, untilStill } from '../lib/until.mjs';

test('a muted microphone is shown and silent, and comes back', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.hears(ben);
    await ben.get('mic-button').click();
    await until('Ada sees Ben muted', async () => (await ada.tile(ben))?.isMicMuted);
    await ada.hearsNothing(ben);
    assert.equal(await ben.get('mic-button').getAttribute('aria-label'), 'Unmute microphone');

    await ben.get('mic-button').click();
    await until('Ada sees Ben unmuted', async () => (await ada.tile(ben))?.isMicMuted === false);
    await ada.hears(ben);
  });
});

test('a camera goes off and on in place', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    const before = (await ada.tile(ben)).trackSid;
    await ben.get('camera-button').click();
    await until('Ada sees an avatar', async () => (await ada.tile(ben))?.hasVideo === false);
    await untilStill('frames Ada decodes of Ben', async () => (await ada.received(ben, 'CAMERA')).frames, 2_000);

    await ben.get('camera-button').click();
    await until('Ada sees a picture', async () => (await ada.tile(ben))?.hasVideo);
    await ada.sees(ben);
    assert.equal((await ada.tile(ben)).trackSid, before, 'the track is the same one');
  });
});
