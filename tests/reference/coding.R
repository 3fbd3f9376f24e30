suppressMessages({library(lme4); library(lmerTest); library(splines)})
out <- list()
num <- function(x) formatC(x, digits=17, format="g")
js <- function(x) { # tiny json
  if (is.list(x)) { if (!is.null(names(x))) paste0("{", paste0('"', names(x), '": ', sapply(x, js), collapse=", "), "}") else paste0("[", paste(sapply(x, js), collapse=", "), "]") }
  else if (is.matrix(x)) paste0("[", paste(apply(x,1,function(r) js(as.numeric(r))), collapse=", "), "]")
  else if (is.character(x)) { if (length(x)==1) paste0('"', gsub('"','\\\\"',x), '"') else paste0("[", paste0('"', gsub('"','\\\\"',x), '"', collapse=", "), "]") }
  else { v <- ifelse(is.na(x), "null", num(x)); if (length(v)==1) v else paste0("[", paste(v, collapse=", "), "]") } }
for (n in 2:6) out$contr[[as.character(n)]] <- list(sum=matrix(contr.sum(n),n), helmert=matrix(contr.helmert(n),n), poly=matrix(contr.poly(n),n), treatment2=matrix(contr.treatment(n,base=2),n), SAS=matrix(contr.SAS(n),n))
# a small incomplete factorial
d <- expand.grid(g=1:6, rep=1:2, b=c("x","y","z"), a=c("p","q"), stringsAsFactors=FALSE)
d <- d[!(d$a=="q" & d$b=="z"), ]
i <- seq_len(nrow(d))
u <- c(.9,-.4,.3,-1.1,.7,-.2)[d$g]
d$x <- ((i*7) %% 11)/10
d$y <- round(2 + (d$a=="q")*.8 + (d$b=="y")*.5 - (d$b=="z")*.3 + u + .6*sin(i*1.7) + .4*cos(i*2.9) + .5*d$x, 4)
d$g <- paste0("g", d$g)
rownames(d) <- NULL
out$data <- list(y=d$y, a=d$a, b=d$b, g=d$g, x=d$x)
d$a <- factor(d$a); d$b <- factor(d$b)
fit <- function(f) { m <- lmer(f, d); an <- function(t) { A <- anova(m, type=t); list(term=I(rownames(A)), numdf=A$NumDF, dendf=A$DenDF, F=A[["F value"]]) }
  list(formula=deparse(f, width.cutoff=300), fixef=as.numeric(fixef(m)), names=names(fixef(m)), dropped=if (is.null(attr(getME(m,"X"),"col.dropped"))) list() else as.list(names(attr(getME(m,"X"),"col.dropped"))), se=as.numeric(sqrt(diag(as.matrix(vcov(m))))), criterion=REMLcrit(m), sd=as.data.frame(VarCorr(m))$sdcor, anova1=an("1"), anova2=an("2"), anova3=an("3")) }
js0 <- js; js <- function(x) if (inherits(x,"AsIs")) paste0("[", paste0('"', unclass(x), '"', collapse=", "), "]") else js0(x)
out$fits <- list(
 fit(y ~ a * b + (1 | g)), fit(y ~ a * b + x + (1 | g)), fit(y ~ b * a * x + (1|g)), fit(y ~ a:b + (1|g)), fit(y ~ x + I(2*x) + b + (1|g)), fit(y ~ 0 + a:b + (1|g)))
d2 <- d[!(d$a=="p" & d$b == "z"),]
cfit <- function(f) { m <- lmer(f, d); A <- anova(m); list(formula=deparse(f, width.cutoff=300), fixef=as.numeric(fixef(m)), names=names(fixef(m)), X=matrix(getME(m,"X"), nrow(d)), criterion=REMLcrit(m), anova3=list(term=I(rownames(A)), numdf=A$NumDF, dendf=A$DenDF, F=A[["F value"]])) }
out$coded <- list(
 cfit(y ~ C(b, contr.sum) + (1|g)), cfit(y ~ C(b, contr.helmert) * x + (1|g)), cfit(y ~ C(b, contr.poly) + x:C(b, contr.poly) + (1|g)), cfit(y ~ 0 + C(b, contr.sum) + C(a, contr.sum) + (1|g)), cfit(y ~ x + C(b, contr.sum):x + (1|g)), cfit(y ~ C(b, contr.sum) + I(x^2) + C(b, contr.sum):I(x^2) + (1|g)))
x <- c(0.03, 0.4, 0.9, 1.3, 1.35, 2.2, 2.8, 3.1, 3.7, 4.4, 5.0, 5.9, 6.6, 7.1, 8.8, 9.7)
new <- c(-1, 0.03, 2, 5.5, 9.7, 12)
sp <- function(e) { B <- suppressWarnings(eval(parse(text=e))); N <- suppressWarnings(predict(B, new)); list(call=e, fit=matrix(B, length(x)), new=matrix(N, length(new)), knots=as.numeric(attr(B,"knots")), boundary=as.numeric(attr(B,"Boundary.knots"))) }
out$splines <- list(x=x, new=new, cases=lapply(c("bs(x)","bs(x, df = 5)","bs(x, df = 6, degree = 2)","bs(x, knots = c(2, 5))","bs(x, df = 4, intercept = TRUE)","bs(x, df = 6, Boundary.knots = c(-2, 11))","ns(x)","ns(x, df = 3)","ns(x, df = 5)","ns(x, knots = c(2, 5))","ns(x, df = 4, intercept = TRUE)","ns(x, df = 3, Boundary.knots = c(-2, 11))","bs(x, degree = 1, df = 4)"), sp))
out$origin <- paste0("R ", getRversion(), ", lme4 ", packageVersion("lme4"), ", lmerTest ", packageVersion("lmerTest"), ", splines ", packageVersion("splines"), "; tests/reference/coding.R")
cat(js(out))
