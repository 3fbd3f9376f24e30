# lme4's REML fit, timed: Rscript lme4.R DATA.csv FORMULA GROUPS(comma) SECONDS
# The fastest of up to 5 fits within SECONDS; JSON on the marked line that process.py reads.
suppressPackageStartupMessages(library(lme4))
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(given[1])
for (name in strsplit(given[3], ",")[[1]]) data[[name]] <- factor(data[[name]])
formula <- as.formula(given[2])
seconds <- c()
while (length(seconds) < 5 && sum(seconds) < as.numeric(given[4])) {
  clock <- system.time(fit <- suppressWarnings(suppressMessages(lmer(formula, data))))
  seconds <- c(seconds, clock[["elapsed"]])
}
cat(sprintf('@@cell {"seconds": %.6f, "criterion": %.9f, "version": "%s"}\n',
            min(seconds), REMLcrit(fit), packageVersion("lme4")))
