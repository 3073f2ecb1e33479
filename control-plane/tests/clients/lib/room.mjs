// Names no other test uses, so that tests can share one instance and run again on it.

import { randomUUID } from 'node:crypto';

export function uniqueRoom(prefix = 'room') {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}
