// Serves the harness page and the published build of livekit-client from loopback, on a port the
// system picks: an origin of its own, as an application's page is.

import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDERS = {
  '/harness/': fileURLToPath(new URL('./harness/', import.meta.url)),
  '/livekit-client/': fileURLToPath(
    new URL('../node_modules/livekit-client/dist/', import.meta.url),
  ),
};
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

function find(path) {
  const prefix = Object.keys(FOLDERS).find((p) => path.startsWith(p));
  return prefix && join(FOLDERS[prefix], normalize(`/${path.slice(prefix.length)}`));
}

// Resolves to { origin, close }.
export function serve() {
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    const file = find(path);
    const refuse = () => response.writeHead(404).end();
    if (!file) return refuse();
    createReadStream(file)
      .on('open', () => response.setHeader('content-type', TYPES[extname(file)] ?? 'text/plain'))
      .on('error', refuse)
      .pipe(response);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const origin = `http://127.0.0.1:${server.address().port}`;
      const close = () => (server.closeAllConnections(), server.close());
      resolve({ origin, close });
    });
  });
}
