// What a participant is told of its own link, and of why it sees what it sees.

import { url } from './env.mjs';

export async function explain(token) {
  const answer = await fetch(`${url}/web/subscriptions`, { headers: { Authorization: `Bearer ${token}` } });
  return answer.json();
}
