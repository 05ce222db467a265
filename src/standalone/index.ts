/** The playbook's scheduler, without Kubernetes. */
export { describeSchedule, parseEnvironment, parseListen, type Settings } from './environment.ts';
export { type ServeOptions, serve } from './serve.ts';
