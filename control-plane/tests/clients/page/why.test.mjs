// Why a picture looks as it does is told on its tile: whose side it is on, and what was decided.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

const verdict = (person) => person.get('why-verdict').evaluate(({ dataset }) => ({ ...dataset }));
const told = (person, reason) => until(`${person.name} is told ${reason}`, async () => (await verdict(person)).reason === reason);

test('a tile tells whose side its picture is on', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    const tile = await ada.tileElement(ben);
    await tile.hover();
    await tile.getByTestId('why-button').click();
    await ada.get('why-verdict').waitFor();
    await until('the picture flows as it is granted', async () => /^Flowing[0-9]+×[0-9]+.*kbit/.test(await ada.get('why-flowing').innerText().then((text) => text.replace(/\s+/g, ''))));
    // A sender begins with little, and it is told so until more comes.
    await until('nobody is at fault', async () => (await verdict(ada)).side === 'NOBODY');

    await ada.pin(ben);
    await until('a pin is told', async () => /^Pinned by you/.test(await ada.get('why-asked').innerText()));
    await ada.pin(ben, false);
    await until('its end is told', async () => /^Asked by you/.test(await ada.get('why-asked').innerText()));

    await ada.simulate('narrow');
    await told(ada, 'CLIENT_CAP');
    assert.equal((await verdict(ada)).side, 'RECEIVER');

    await ben.get('camera-button').click();
    await told(ada, 'PUBLISHER_MUTED');
    assert.equal((await verdict(ada)).side, 'SENDER');
    await until('decisions are listed', async () => (await ada.get('why-panel').locator('.why-history li').count()) >= 2);

    await ada.page.keyboard.press('Escape');
    assert.equal(await ada.get('why-panel').isHidden(), true);
    assert.deepEqual([...ada.faults, ...ben.faults], []);
  });
});
