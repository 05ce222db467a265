/** The playbook's scheduler, without Kubernetes. */
export { type ServeOptions, serve } from './serve.ts';
