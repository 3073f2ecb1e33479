// A video is received as large as it is shown: the layer falls when its tile shrinks.

import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

const widthOf = async (viewer, other) => (await viewer.received(other, 'CAMERA'))?.width ?? 0;

test('a smaller tile gets a smaller layer, a larger one a larger', async () => {
  await together(['Ada', 'Ben', 'Cleo'], async (ada, ben, cleo) => {
    await ada.sees(ben);
    await ada.pin(ben);
    const large = await until('Ben arrives large', async () => {
      const width = await widthOf(ada, ben);
      return width >= 640 && width;
    }, 60_000);

    await ada.pin(cleo);
    await until(`Ben arrives smaller than ${large}`, async () => {
      const width = await widthOf(ada, ben);
      return width > 0 && width < large;
    }, 30_000);
    await ada.sees(ben);

    await ada.pin(ben);
    await until('Ben arrives large again', async () => (await widthOf(ada, ben)) >= large, 60_000);
  });
});
