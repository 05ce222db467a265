/** The parts of undici that are loaded one by one, with the types of the whole. */
declare module 'undici/lib/dispatcher/agent.js' {
  export { Agent as default } from 'undici';
}
declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici';

  const request: Dispatcher['request'];
  export default request;
}
declare module 'undici/lib/web/websocket/websocket.js' {
  export { WebSocket } from 'undici';
}
