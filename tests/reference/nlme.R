# Residual structures by nlme: Rscript nlme.R FOLDER_OF_DATA > nlme.json
library(nlme)
folder <- commandArgs(TRUE)[1]
sleep <- read.csv(file.path(folder, "sleepstudy.csv"))
sleep$Subject <- factor(sleep$Subject)
sleep$half <- ifelse(sleep$Days < 5, "early", "late")
sleep$part <- factor(ifelse(sleep$Days %% 2 == 0, "even", "odd"))
sleep$series <- interaction(sleep$Subject, sleep$part)
holes <- sleep[-seq(3, 180, by = 7), ]
# times of no common step; the same in both languages
uneven <- transform(sleep, clock = Days + ((Days * 7) %% 5) / 13)
machines <- read.csv(file.path(folder, "Machines.csv"))
machines$Worker <- factor(machines$Worker)
control <- list(msMaxIter = 500, msTol = 1e-12, tolerance = 1e-10, opt = "nlminb",
                niterEM = 50, msVerbose = FALSE, maxIter = 500)
lmc <- do.call(lmeControl, control)
glc <- do.call(glsControl, control[c("msMaxIter", "msTol", "tolerance", "maxIter")])
calls <- list(
  holes_ar1 = quote(lme(Reaction ~ Days, holes, ~1 | Subject, corAR1(form = ~Days | Subject), method = M, control = lmc)),
  uneven_car1 = quote(lme(Reaction ~ clock, uneven, ~1 | Subject, corCAR1(form = ~clock | Subject), method = M, control = lmc)),
  ratios_ar1 = quote(lme(Reaction ~ Days, sleep, ~1 | Subject, corAR1(form = ~Days | Subject), varIdent(form = ~1 | half), method = M, control = lmc)),
  slopes_ratios = quote(lme(Reaction ~ Days, sleep, ~Days | Subject, weights = varIdent(form = ~1 | half), method = M, control = lmc)),
  gls_cs = quote(gls(Reaction ~ Days, sleep, corCompSymm(form = ~1 | Subject), method = M, control = glc)),
  gls_cs_ratios = quote(gls(score ~ Machine, machines, corCompSymm(form = ~1 | Worker), varIdent(form = ~1 | Machine), method = M, control = glc)),
  gls_ar1 = quote(gls(Reaction ~ Days, sleep, corAR1(form = ~Days | Subject), method = M, control = glc)),
  gls_ratios = quote(gls(Reaction ~ Days, sleep, weights = varIdent(form = ~1 | half), method = M, control = glc)))
found <- list()
for (name in names(calls)) for (M in c("REML", "ML")) {
  fit <- eval(calls[[name]])
  own <- fit$modelStruct
  sd <- if (inherits(fit, "lme")) as.numeric(VarCorr(fit)[1:(nrow(VarCorr(fit)) - 1), "StdDev"]) else numeric(0)
  found[[paste(name, M, sep = "_")]] <- list(
    call = paste(deparse(calls[[name]]), collapse = ""), method = M,
    logLik = as.numeric(logLik(fit)), beta = unname(if (inherits(fit, "lme")) fixef(fit) else coef(fit)),
    se = unname(sqrt(diag(vcov(fit)))), sd = sd, sigma = fit$sigma,
    rho = if (is.null(own$corStruct)) NULL else unname(coef(own$corStruct, unconstrained = FALSE)),
    ratios = if (is.null(own$varStruct)) NULL else as.list(coef(own$varStruct, unconstrained = FALSE)))
}
number <- function(x) if (length(x) == 1) format(x, digits = 15) else paste0("[", paste(format(x, digits = 15, trim = TRUE), collapse = ", "), "]")
text <- function(x) {
  if (is.null(x)) "null"
  else if (is.list(x)) paste0("{", paste0('"', names(x), '": ', vapply(x, text, ""), collapse = ", "), "}")
  else if (is.character(x)) paste0('"', gsub('"', '\\"', x), '"')
  else if (!length(x)) "[]" else number(x)
}
origin <- paste("nlme", packageVersion("nlme"), "R", getRversion())
cat('{"origin": "', origin, '",\n', sep = "")
cat(paste0('"', names(found), '": ', vapply(found, text, ""), collapse = ",\n"), "\n}\n")
