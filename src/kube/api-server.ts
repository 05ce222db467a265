/** Where the API server is, and how to authenticate to it. */
export interface ApiServer {
  /** Base address, without a trailing slash. */
  url: string;
  tls: {
    ca?: string | Buffer;
    cert?: string | Buffer;
    key?: string | Buffer;
    rejectUnauthorized?: boolean;
    servername?: string;
  };
  /** Headers that authenticate a request; called before every request. */
  authenticate(): Promise<Record<string, string>>;
  /** Called when the API server rejects the credentials, so that they are read again. Absent if none are cached. */
  forgetCredentials?(): void;
}
