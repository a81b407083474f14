/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Java's relying party: PKIX path validation of one certificate after the other, with its own checker of
 * revocation.  Nothing is softened: no fallback to the other source, no soft fail.
 *
 *   java Relying.java (ocsp | crl) RESPONDER|- ROOT CA LEAF...
 *
 * ocsp: the responder of the certificate, or RESPONDER; crl: the distribution point of the certificate.  Prints one
 * line for each leaf: good, revoked REASON, expired, undetermined, or what went wrong.
 */
import java.io.FileInputStream;
import java.net.URI;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateRevokedException;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

public class Relying {
    static final CertificateFactory FACTORY = factory();

    static CertificateFactory factory() {
        try {
            return CertificateFactory.getInstance("X.509");
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    static X509Certificate load(String path) throws Exception {
        try (FileInputStream in = new FileInputStream(path)) {
            return (X509Certificate) FACTORY.generateCertificate(in);
        }
    }

    static PKIXRevocationChecker checker(CertPathValidator validator, String mode, String responder) throws Exception {
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        EnumSet<Option> options = EnumSet.of(Option.ONLY_END_ENTITY, Option.NO_FALLBACK);

        if (mode.equals("crl")) {
            options.add(Option.PREFER_CRLS);
        }
        checker.setOptions(options);
        if (!responder.equals("-")) {
            checker.setOcspResponder(new URI(responder));
        }
        return checker;
    }

    static String verdict(CertPathValidatorException e) {
        if (e.getCause() instanceof CertificateRevokedException) {
            return "revoked " + ((CertificateRevokedException) e.getCause()).getRevocationReason();
        }
        if (e.getReason() == CertPathValidatorException.BasicReason.EXPIRED) {
            return "expired";
        }
        if (e.getReason() == CertPathValidatorException.BasicReason.UNDETERMINED_REVOCATION_STATUS) {
            return "undetermined " + e.getMessage();
        }
        return "failed " + e + " " + e.getCause();
    }

    static String check(String mode, String responder, X509Certificate root, X509Certificate ca, X509Certificate leaf)
            throws Exception {
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        CertPath path = FACTORY.generateCertPath(List.of(leaf, ca));
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));

        parameters.addCertPathChecker(checker(validator, mode, responder));
        try {
            validator.validate(path, parameters);
            return "good";
        } catch (CertPathValidatorException e) {
            return verdict(e);
        }
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("com.sun.security.enableCRLDP", "true");
        X509Certificate root = load(args[2]), ca = load(args[3]);

        for (int i = 4; i < args.length; i++) {
            System.out.println(check(args[0], args[1], root, ca, load(args[i])));
        }
    }
}
