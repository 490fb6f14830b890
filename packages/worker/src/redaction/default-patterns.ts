import type { SecretPattern } from "./pattern-set.ts";

/** What the name of a scheme ends with. */
const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];

/**
 * Shapes of secrets that are well known. What is not in a group says where it stands; what is in the group is masked. Blocks of private
 * keys, which have many lines, are found beside these. `anyOf` names the parts of them that are rarest in logs.
 */
export const defaultPatterns: readonly SecretPattern[] = [
  { name: "aws-access-key", pattern: "\\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\\b" },
  {
    name: "aws-secret",
    pattern: "(?i)(?:secret_?access_?key|session_?token)[\"']?\\s{0,9}[:=]\\s{0,9}[\"']?([A-Za-z0-9/+]{40,}={0,2})",
    anyOf: ["t_access_key", "T_ACCESS_KEY", "tAccessKey", "n_token", "N_TOKEN", "nToken"],
  },
  { name: "github-token", pattern: "\\b((?:ghp_|gho_|ghu_|ghs_|ghr_)[A-Za-z0-9]{36,255})" },
  { name: "github-fine-grained-token", pattern: "\\b(github_pat_[A-Za-z0-9_]{22,255})", anyOf: ["b_pat_"] },
  { name: "gitlab-token", pattern: "\\b(glpat-[A-Za-z0-9_.-]{20,255})" },
  { name: "slack-token", pattern: "\\b((?:xoxa-|xoxb-|xoxe-|xoxo-|xoxp-|xoxr-|xoxs-|xapp-)[A-Za-z0-9-]{10,255})" },
  { name: "stripe-key", pattern: "\\b((?:sk_live_|rk_live_)[A-Za-z0-9]{16,255})", anyOf: ["k_live_"] },
  { name: "google-api-key", pattern: "\\b(AIza[A-Za-z0-9_-]{35})" },
  { name: "npm-token", pattern: "\\b(npm_[A-Za-z0-9]{36})\\b" },
  { name: "pypi-token", pattern: "\\b(pypi-AgE[A-Za-z0-9_-]{50,1000})", anyOf: ["i-AgE"] },
  { name: "model-provider-key", pattern: "\\b((?:sk-ant-|sk-proj-)[A-Za-z0-9_-]{20,1000})" },
  { name: "jwt", pattern: "\\b(eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}(?:\\.[A-Za-z0-9_-]*)?)" },
  {
    name: "bearer",
    pattern: "(?i)\\bbearer\\s+([A-Za-z0-9._~+/-]{12,}=*)",
    anyOf: ["Bearer", "bearer"],
  },
  {
    name: "basic-authorization",
    pattern: "(?i)\\bauthorization[\"']?\\s{0,9}[:=]\\s{0,9}[\"']?(?:basic|token)\\s+([A-Za-z0-9._~+/-]{6,}=*)",
    anyOf: ["rization", "RIZATION"],
  },
  {
    name: "url-password",
    pattern: "[A-Za-z]://[^\\s/?#:@\"'<>]*:([^\\s/?#\"'<>]+)@",
    anyOf: letters.map((letter) => `${letter}://`),
    also: "@",
  },
];
