/** The status page: HTML of an overview, without scripts where possible. */
export { type PageSource, pageRoutes } from './routes.ts';
