const unused = () => {
  throw new Error("Routes of this server have no JSON schemas: check what comes by hand.");
};

/**
 * For Fastify, as `schemaController`: no route has a JSON schema. Without it Fastify loads two compilers of schemas, a seventh of all
 * modules of the server, and each start takes the longer.
 */
export const noSchemas = { compilersFactory: { buildValidator: unused, buildSerializer: unused } };
