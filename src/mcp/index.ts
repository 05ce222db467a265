/** The MCP server: tools for assistants. */
export { type HttpSettings, SHORTEST_TOKEN, serveOnHttp } from './http.ts';
export { localService } from './local/service.ts';
export { type LocalSettings, localSettings } from './local/settings.ts';
export { ServerFactory, type ServerSettings, type Service } from './server.ts';
export { serveOnStdio } from './stdio.ts';
