// Access tokens, minted the way an application's backend does: by LiveKit's own class.

import { AccessToken } from 'livekit-server-sdk';
import { apiKey, apiSecret } from './env.mjs';

// `grant` is merged over "may join this room and do everything a participant does there".
export function mintToken(room, identity, grant = {}, details = {}, [key, secret] = [apiKey, apiSecret]) {
  const token = new AccessToken(key, secret, { identity, ttl: '10m', ...details });
  token.addGrant({
    roomJoin: true,
    room,
    canPublish: true,
    canSubscribe: true,
    canPublishData: true,
    canUpdateOwnMetadata: true,
    ...grant,
  });
  return token.toJwt();
}
