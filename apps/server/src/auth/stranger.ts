/** Why somebody is not let in: in a word for the audit, and in a sentence for the caller. */
export interface Stranger {
  readonly words: "no token" | "wrong token";
  readonly message: string;
}

/** Somebody whom nobody knows. `canSignIn`: a browser may also come with a cookie. */
export function stranger(hasToken: boolean, canSignIn: boolean): Stranger {
  const how = "'authorization: Bearer <token>'";
  if (hasToken)
    return {
      words: "wrong token",
      message: `This token is not the server's: send the one in the file 'token' of its data folder, ${how}.`,
    };
  return { words: "no token", message: `${canSignIn ? "Sign in, or send" : "Send"} the token: ${how}.` };
}
