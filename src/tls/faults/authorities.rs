//! The authorities of a server with faults, and the certificates that they issue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use tracing::warn;

use super::super::certificate::TlsError;
use super::super::provider;
use super::fault::TlsFault;

/// Host of a certificate that is for another host: one that there cannot be (RFC 6761, section 6.4).
const ANOTHER_HOST: &str = "another-host.invalid";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Validity of an authority, before and after its making.
const AUTHORITY_VALID_FOR: Duration = DAY.saturating_mul(820);

/// Validity of a certificate, before and after its making: also that of one that has expired, or is
/// not valid yet.
const VALID_FOR: Duration = DAY.saturating_mul(90);

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The authorities, and the key of all certificates that they issue.
#[derive(Debug)]
pub(super) struct Authorities {
    /// The one that clients may trust.
    root: Authority,
    /// Signed by the root, and sent to clients.
    intermediate: Authority,
    /// Signed by the root, and never sent: a client that keeps the certificates of intermediates
    /// does not know this one.
    withheld: Authority,
    /// The one that no client trusts.
    untrusted: Authority,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    /// The certificate for clients that say no name.
    nameless: Arc<CertifiedKey>,
}

impl Authorities {
    pub(super) fn new(names: &[String]) -> Result<Self, TlsError> {
        // A number, so that clients do not take the authority of another start for this one.
        let number = rand::random::<u32>();
        let name = |role: &str| format!("echobeat --tls-faults {number:08x}, {role}");
        let root = make_root(&name("root"))?;
        let intermediate = make_intermediate(&name("intermediate"), &root)?;
        let key = KeyPair::generate()?;
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let signing_key = provider().key_provider.load_private_key(der.into())?;
        let params = server_params(names)?;
        let certificate = params.signed_by(&key, &intermediate)?;
        let chain = vec![certificate.der().clone(), intermediate.der().clone()];
        Ok(Self {
            nameless: Arc::new(CertifiedKey::new(chain, Arc::clone(&signing_key))),
            withheld: make_intermediate(&name("withheld intermediate"), &root)?,
            untrusted: make_root(&name("untrusted root"))?,
            root,
            intermediate,
            key,
            signing_key,
        })
    }

    /// The authority that clients may trust.
    pub(super) fn root(&self) -> &Authority {
        &self.root
    }

    /// Issues a certificate for the host of this name, with the fault that it asks for.
    fn issue(&self, name: &str) -> Result<CertifiedKey, TlsError> {
        let fault = TlsFault::of(name);
        let host = match fault {
            Some(TlsFault::WrongHost) => ANOTHER_HOST,
            _ => name,
        };
        let mut params = server_params(&[host.to_owned()])?;
        let now = SystemTime::now();
        match fault {
            Some(TlsFault::Expired) => params.not_after = (now - DAY).into(),
            Some(TlsFault::NotYetValid) => params.not_before = (now + DAY).into(),
            _ => {}
        }
        let (issuer, sent) = match fault {
            Some(TlsFault::UntrustedRoot) => (&self.untrusted, Some(&self.untrusted)),
            Some(TlsFault::IncompleteChain) => (&self.withheld, None),
            _ => (&self.intermediate, Some(&self.intermediate)),
        };
        let certificate = params.signed_by(&self.key, issuer)?.der().clone();
        let sent = sent.map(|issuer| issuer.der().clone());
        let chain: Vec<CertificateDer<'static>> = [certificate].into_iter().chain(sent).collect();
        Ok(CertifiedKey::new(chain, Arc::clone(&self.signing_key)))
    }
}

impl ResolvesServerCert for Authorities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = hello.server_name() else {
            return Some(Arc::clone(&self.nameless));
        };
        match self.issue(name) {
            Ok(issued) => Some(Arc::new(issued)),
            Err(error) => {
                warn!(name, %error, "no certificate was made for this name");
                None
            }
        }
    }
}

fn make_root(name: &str) -> Result<Authority, TlsError> {
    let params = authority_params(name);
    Ok(Authority::self_signed(params, KeyPair::generate()?)?)
}

fn make_intermediate(name: &str, root: &Authority) -> Result<Authority, TlsError> {
    let mut params = authority_params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.use_authority_key_identifier_extension = true;
    Ok(Authority::signed_by(params, KeyPair::generate()?, root)?)
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = (now - AUTHORITY_VALID_FOR).into();
    params.not_after = (now + AUTHORITY_VALID_FOR).into();
    params
}

/// Parameters of a server's certificate, as strict clients want it (RFC 5280, section 4.2.1).
fn server_params(names: &[String]) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names)?;
    let subject = &mut params.distinguished_name;
    subject.push(DnType::CommonName, "echobeat --tls-faults");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    params.not_before = (now - VALID_FOR).into();
    params.not_after = (now + VALID_FOR).into();
    Ok(params)
}
