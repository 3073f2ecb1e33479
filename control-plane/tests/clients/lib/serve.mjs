// Serves folders from loopback, on a port the system picks: an origin of its own, as an application's page is.

import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

// `folders`: path on disk by the beginning of the URL's path. Resolves to { origin, close }.
export function serveFolders(folders) {
  const find = (path) => {
    const prefix = Object.keys(folders).find((p) => path.startsWith(p));
    return prefix && join(folders[prefix], normalize(`/${path.slice(prefix.length)}`));
  };
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
