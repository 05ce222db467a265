/** The tools and resources of one server as the SDK wants them, with approval, progress, cancellation and errors. */
import { randomBytes } from 'node:crypto';
import {
  acceptedContent,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  createRequestStateCodec,
  inputRequired,
  McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { ArchiveError } from '../archive/index.ts';
import type { Logger } from '../log/index.ts';
import { isSystemError } from '../posix/system-error.ts';
import {
  type Answer,
  APPROVAL_SECONDS,
  digestOfInput,
  gateOf,
  OpenQuestions,
  type Question,
  refusalOf,
} from './approval.ts';
import { Calls, progressSender } from './calls.ts';
import { addPages } from './pages.ts';
import { lines } from './text.ts';
import { annotationsOf, type Call, type Tool } from './tool.ts';

/** What a server serves, whatever the transport. */
export interface Service {
  readonly tools: readonly Tool[];
  /** What the assistant is told about this server. */
  readonly instructions: string;
  /** Foreseeable errors that are no ArchiveError, in words; undefined for others. */
  readonly explain?: (error: unknown) => string | undefined;
  /** Adds what is not a tool. */
  readonly addResources: (server: McpServer) => void;
}

export interface ServerSettings {
  readonly version: string;
  /** Destructive tools run without asking a person. */
  readonly allowDestructive: boolean;
  readonly logger: Logger;
}

const APPROVAL = 'approval';
/** Without the new digest: an assistant could pass it on although nobody saw the new plan. */
const PLAN_CHANGED =
  'refused: this is not the digest of the plan as it is now. Nothing was changed. Make the plan again, and show it to the user.';
const Approval = z.object({ approve: z.boolean() });
const Capabilities = z.object({
  elicitation: z.object({ form: z.unknown(), url: z.unknown() }).partial().optional(),
});

/** Makes a server for each connection or request; what they share is here. */
export class ServerFactory {
  readonly #service: Service;
  readonly #settings: ServerSettings;
  readonly #calls = new Calls();
  readonly #questions = new OpenQuestions(() => performance.now());
  /** The key lasts as long as this process: no approval is valid in another one. */
  readonly #codec = createRequestStateCodec<Question>({ key: randomBytes(32), ttlSeconds: APPROVAL_SECONDS });

  constructor(service: Service, settings: ServerSettings) {
    this.#service = service;
    this.#settings = settings;
  }

  get logger(): Logger {
    return this.#settings.logger;
  }

  make(): McpServer {
    const { version } = this.#settings;
    const server = new McpServer(
      { name: 'km-backup', title: 'km-backup', version },
      {
        instructions: this.#service.instructions,
        requestState: { verify: (state, context) => this.#codec.verify(state, context) },
        inputRequired: { roundTimeoutMs: APPROVAL_SECONDS * 1000 },
      },
    );
    for (const tool of this.#service.tools) this.#add(server, tool);
    addPages(server);
    this.#service.addResources(server);
    return server;
  }

  /** Cancels what is under way, and waits until it has cleaned up. */
  async end(): Promise<void> {
    await this.#calls.end();
  }

  #add(server: McpServer, tool: Tool): void {
    const { name, title, description, input, output } = tool;
    const config = {
      title,
      description,
      inputSchema: input,
      outputSchema: output,
      annotations: annotationsOf(tool),
    };
    server.registerTool(name, config, async (given, context) => {
      try {
        return await this.#calls.run(context.mcpReq.signal, (signal) =>
          this.#call(server, tool, given, { signal, context }),
        );
      } catch (error) {
        return this.#failure(name, error);
      }
    });
  }

  async #call(
    server: McpServer,
    tool: Tool,
    given: Record<string, unknown>,
    { signal, context }: { signal: AbortSignal; context: ServerContext },
  ) {
    const call: Call = { signal, progress: progressOf(context) };
    if (tool.effect === 'destroys') {
      const asked = { tool: tool.name, input: digestOfInput(given) };
      const answer = answerOf(context);
      const gate = gateOf({
        allowDestructive: this.#settings.allowDestructive,
        canAsk: canShowForms(server, context),
        answer,
        asked,
        isOpen: answer.kind === 'answered' && this.#questions.take(answer.question),
      });
      if (gate.kind === 'refuse') throw refusalOf(gate);
      if (gate.kind === 'ask') {
        const plan = await tool.plan(given, call);
        if (plan.digest !== given['planDigest']) throw new ArchiveError('PlanChanged', PLAN_CHANGED);
        const question = this.#questions.ask(asked);
        return inputRequired({
          inputRequests: { [APPROVAL]: approvalForm(plan.text) },
          requestState: await this.#codec.mint(question, context),
        });
      }
    }
    const { data, text, failed } = await tool.run(given, call);
    const result: CallToolResult = {
      content: [{ type: 'text', text }],
      structuredContent: data,
      ...(failed && { isError: true }),
    };
    return result;
  }

  /** Foreseeable errors are for the assistant and its user; faults go to the log with their stack. */
  #failure(tool: string, error: unknown): CallToolResult {
    const answer = (text: string): CallToolResult => ({ content: [{ type: 'text', text }], isError: true });
    if (error instanceof Error && 'reason' in error && error.reason === 'PlanChanged') {
      return answer(`PlanChanged: ${PLAN_CHANGED}`);
    }
    if (error instanceof ArchiveError && error.reason !== 'Internal') {
      return answer(lines(`${error.reason}: ${error.message}`));
    }
    const words = this.#service.explain?.(error);
    if (words !== undefined) return answer(lines(words));
    if (isSystemError(error)) return answer(lines(`The system refused: ${(error as Error).message}.`));
    this.#settings.logger.error({ err: error, tool }, 'a tool failed by a fault of km-backup itself');
    return answer(
      "A fault of km-backup itself, please report it: the server's standard error has the stack.",
    );
  }
}

function approvalForm(message: string) {
  return inputRequired.elicit({
    message,
    requestedSchema: {
      type: 'object',
      properties: { approve: { type: 'boolean', title: 'Do it', description: 'Approve exactly this plan.' } },
      required: ['approve'],
    },
  });
}

/** An answer counts only with a question that this server signed. */
function answerOf({ mcpReq }: ServerContext): Answer {
  const question = mcpReq.requestState<Question>();
  if (question === undefined) return { kind: 'none' };
  const accepted = acceptedContent(mcpReq.inputResponses, APPROVAL, Approval);
  return { kind: 'answered', approved: accepted?.approve === true, question };
}

/** Clients say so in each request, those of 2025 when they connect. An empty `elicitation` means forms. */
function canShowForms({ server }: McpServer, { mcpReq }: ServerContext): boolean {
  const envelope: Readonly<Record<string, unknown>> | undefined = mcpReq.envelope;
  const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? server.getClientCapabilities();
  const elicitation = Capabilities.safeParse(declared).data?.elicitation;
  if (!elicitation) return false;
  return elicitation.form !== undefined || elicitation.url === undefined;
}

function progressOf({ mcpReq }: ServerContext): Call['progress'] {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return () => {};
  return progressSender((params) => {
    const sent = mcpReq.notify({ method: 'notifications/progress', params: { progressToken, ...params } });
    // The client is gone: the call's signal says so.
    sent.catch(() => {});
  });
}
