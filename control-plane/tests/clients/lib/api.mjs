// The application's backend: LiveKit's own client of the room service (Twirp).

import { RoomServiceClient } from 'livekit-server-sdk';
import { apiKey, apiSecret, url } from './env.mjs';

export const api = new RoomServiceClient(url, apiKey, apiSecret);
