# One call of R's stack, timed: Rscript classical.R DATA.csv FORMULA GROUPS(comma) WHAT
# WHAT: satterthwaite, kenward-roger, profile, boot. CPU seconds beside those of lmer's
# fit; JSON on the marked line that process.py reads.
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(pbkrtest)})
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(given[1])
for (name in strsplit(given[3], ",")[[1]]) data[[name]] <- factor(data[[name]])
formula <- as.formula(given[2])
cpu <- function(call) {
  clock <- system.time(call)
  clock[["user.self"]] + clock[["sys.self"]]
}
seconds <- cpu(fit <- lme4::lmer(formula, data))
answer <- switch(given[4],
  "satterthwaite" = cpu(summary(lmerTest::as_lmerModLmerTest(fit))),
  "kenward-roger" = {
    ready <- lmerTest::as_lmerModLmerTest(fit)
    cpu(summary(ready, ddf = "Kenward-Roger"))
  },
  "profile" = suppressWarnings(cpu(confint(profile(fit)))),
  "boot" = suppressMessages(suppressWarnings(cpu(
    bootMer(fit, function(f) c(fixef(f), getME(f, "theta"), sigma(f)), nsim = 1000)))))
cat(sprintf('@@cell {"fit": %.6f, "seconds": %.6f}\n', seconds, answer))
