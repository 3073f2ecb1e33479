// Serves the harness page and the published build of livekit-client.

import { fileURLToPath } from 'node:url';
import { serveFolders } from '../lib/serve.mjs';

// Resolves to { origin, close }.
export function serve() {
  return serveFolders({
    '/harness/': fileURLToPath(new URL('./harness/', import.meta.url)),
    '/livekit-client/': fileURLToPath(
      new URL('../node_modules/livekit-client/dist/', import.meta.url),
    ),
  });
}
