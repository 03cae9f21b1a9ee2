//! Signature checks of JSON Web Tokens with `ring`, as the crypto provider of the `jsonwebtoken` crate.
//!
//! Verifies RS256, RS384, RS512, ES256 and ES384 (RFC 7518, sections 3.3 and 3.4), which is all that clusters sign
//! with. It signs nothing and handles no shared secrets: every other algorithm is an error.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature,
};
use ring::signature as algorithms;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    // Called for thumbprints and for private keys only, which the gateway does not have.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this provider in this process. Later calls change nothing.
pub(super) fn install() {
    // An error says that a provider is installed, and this is the only one.
    let _ = PROVIDER.install_default();
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is that of `jsonwebtoken`"
)]
fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is that of `jsonwebtoken`"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let check = match (algorithm, key.family(), key.kind()) {
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            Check::ec(&algorithms::ECDSA_P256_SHA256_FIXED, point)
        }
        (Algorithm::ES384, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            Check::ec(&algorithms::ECDSA_P384_SHA384_FIXED, point)
        }
        (_, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Check::rsa(*algorithm, n, e)?
        }
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier {
        algorithm: *algorithm,
        check,
    }))
}

struct RingVerifier {
    algorithm: Algorithm,
    check: Check,
}

enum Check {
    Ec(algorithms::UnparsedPublicKey<Vec<u8>>),
    Rsa(
        &'static algorithms::RsaParameters,
        algorithms::RsaPublicKeyComponents<Vec<u8>>,
    ),
}

impl Check {
    fn ec(algorithm: &'static algorithms::EcdsaVerificationAlgorithm, point: &[u8]) -> Self {
        Self::Ec(algorithms::UnparsedPublicKey::new(
            algorithm,
            point.to_vec(),
        ))
    }

    fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, Error> {
        let parameters = match algorithm {
            Algorithm::RS256 => &algorithms::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &algorithms::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self::Rsa(
            parameters,
            algorithms::RsaPublicKeyComponents {
                n: n.to_vec(),
                e: e.to_vec(),
            },
        ))
    }
}

impl signature::Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        match &self.check {
            Check::Ec(key) => key.verify(message, signed),
            Check::Rsa(parameters, key) => key.verify(parameters, message, signed),
        }
        .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
